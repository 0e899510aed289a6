"""A real ACME server (RFC 8555), acme2certifier from PyPI, for as long as the tests want it.

Run with the Python that has it: acme_server.py FOLDER PORT NAME_SERVER CERTIFICATE KEY
FOLDER holds its database, and ca.pem and ca.key, by which it issues; NAME_SERVER is whom it asks for what it validates;
CERTIFICATE and KEY are its own, for TLS.
"""

import json
import os
import ssl
import sys
from wsgiref import simple_server

CONFIGURATION = """\
[DEFAULT]
debug: False
dns_server_list: {name_servers}

[CAhandler]
handler_module: acme2certifier.cahandlers.openssl_ca_handler
issuing_ca_key: {folder}/ca.key
issuing_ca_cert: {folder}/ca.pem
issuing_ca_crl: {folder}/ca.crl
cert_save_path: {folder}
cert_validity_days: 90

[DBhandler]
handler: wsgi
dbfile: {folder}/acme.db

[Challenge]
dns_server_list: {name_servers}
"""


def main(folder: str, port: str, name_server: str, certificate: str, key: str) -> None:
    path = os.path.join(folder, "acme_srv.cfg")
    with open(path, "w", encoding="ascii") as file:
        file.write(CONFIGURATION.format(folder=folder, name_servers=json.dumps([name_server])))
    os.environ["ACME_SRV_CONFIGFILE"] = path
    from acme2certifier.share import acme2certifier_wsgi  # type: ignore[import-not-found]  # reads the file when it is imported

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    handler = acme2certifier_wsgi.get_handler_cls()
    server = simple_server.make_server("0.0.0.0", int(port), acme2certifier_wsgi.application, handler_class=handler)
    server.base_environ["HTTPS"] = "on"  # by which it tells its own URLs
    server.socket = context.wrap_socket(server.socket, server_side=True)
    server.serve_forever()


if __name__ == "__main__":
    main(*sys.argv[1:])
