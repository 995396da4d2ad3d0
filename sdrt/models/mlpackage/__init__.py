"""Core ML packages as files: protobuf, ML Program text, weight blobs, and what a package takes and gives. Nothing here computes."""
