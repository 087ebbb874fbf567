"""How often a model's answers about distortions, grades and pairs agree with the labels of samples."""
