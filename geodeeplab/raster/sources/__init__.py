"""What pixels are read from: files, mosaics, stacks, arrays, and changes of grid on the way."""
