"""What is measured, beside the thing it is compared with, in one run and as ratios. ``make bench``; see __main__."""
