"""Fine-tuning of text encoders on what people clicked, bought or rated: losses, ways, negatives, trainers."""
