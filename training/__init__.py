"""How the embedded model was made: drawing, captions, training, judging and export. Not part of the runtime."""
