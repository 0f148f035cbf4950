"""Banks from the other end, with codecs of their own, and the traffic they make."""
