"""HTTP over aiohttp: one request per try, its answer classified, decoded and released."""
