"""From the levels of a backbone to coarse logits."""
