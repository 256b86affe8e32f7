"""One room per published system. Outsiders use its four doors only:
network, generator, training, checkpoint."""
