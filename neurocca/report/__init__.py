"""One subject's results as a web page: figures, words and a template; nothing here opens a file or a socket."""
