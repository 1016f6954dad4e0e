"""What a client decides between two requests: cookies, redirects, retries, proxies, bodies."""
