"""Networks in 8-bit integers: what each convolution reads is measured on training chips, and OpenVINO computes."""
