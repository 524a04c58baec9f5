"""CONTACT: sockets, files, SQL. Each file bears the name of the OpenSIPS module that it stands for."""
