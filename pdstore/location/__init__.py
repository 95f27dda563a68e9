"""Where a store lies: in a folder, in a zip file, on a web server or in S3. Bytes by key."""
