# lua -- what of this folder is installed and distributed.
