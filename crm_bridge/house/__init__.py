"""What the house keeps beside its journal: fences and breaks."""
