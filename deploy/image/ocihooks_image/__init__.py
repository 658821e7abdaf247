"""What runs in our containers besides ocihooks itself: handing out files, and putting the wrapper onto a node."""
