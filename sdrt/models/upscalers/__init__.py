"""Files of upscalers, by the names that their trainers gave to the tensors: ESRGAN's three spellings, and the compact form's."""
