"""What notebooks and scripts use besides the components of a sweep file."""
