"""What turns a folder, an array, a URL or a dataset into samples, and says what it left out."""
