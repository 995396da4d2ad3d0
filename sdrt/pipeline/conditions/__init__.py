"""What the U-Net is told beside the sample and the timestep: texts, sizes, guidance, pictures to keep and pictures to follow."""
