"""Statistics of predictions; Grad-CAM; reading predictions back."""
