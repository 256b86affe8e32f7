"""cWDM: conditional wavelet diffusion, three sources to one target (Friedrich et al., 2024)."""
