"""Object detection and instance segmentation with a pretrained encoder, as in the paper's Table 3."""
