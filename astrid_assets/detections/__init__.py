"""Cutouts, U-Net scoring with the shipped champion, and completeness from injected sources."""
