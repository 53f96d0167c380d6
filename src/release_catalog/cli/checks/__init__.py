"""The checks of `release-catalog doctor`: each looks at one part of a set-up and changes nothing."""
