"""How the embedded model was made: rendering, captions, training, judging and export. Not part of the runtime."""
