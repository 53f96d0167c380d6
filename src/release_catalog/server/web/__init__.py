"""What a browser is shown. Everything comes from this host, so that it works in a closed network."""
