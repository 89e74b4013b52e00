"""From networks to a bundle: export, projection, bank and constants; parts fitted anew, bundles joined, matching fitted."""
