"""ALDM: 3-D latent diffusion with MS-SPADE, one source to many targets (Kim & Park, WACV 2024)."""
