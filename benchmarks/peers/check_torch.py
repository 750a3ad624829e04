"""Fails unless torch is installed as the build for CPUs: a CUDA build is another peer, and 3 GB larger."""

import sys

import torch

if torch.version.cuda is not None:
    sys.exit(f"error: torch must be the build for CPUs. Received: {torch.__version__}")
