"""What the trainings of all generators share: cases, augmentation, resume state, processes."""
