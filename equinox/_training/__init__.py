"""What training needs beside the transformations."""
