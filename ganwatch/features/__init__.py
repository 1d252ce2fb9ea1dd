"""What turns samples into the vectors that metrics see."""
