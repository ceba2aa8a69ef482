"""The version of the package: that of bsq.h that it was written for."""

VERSION = "0.1.0"
