"""Face detection: from pixels to boxes, landmarks and scores."""
