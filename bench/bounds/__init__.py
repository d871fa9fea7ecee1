"""What one request may cost: the documented maxima, and the time that applying each takes."""
