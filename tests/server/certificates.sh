#!/usr/bin/env bash
# usage: certificates.sh FOLDER
# Makes ca.pem, and key.pem with certificates of it: good.pem (for 127.0.0.1 and localhost), expired.pem, other.pem
# (for another host), and stranger.pem, which signs itself.
set -eu
cd "$1"
export OPENSSL_CONF=$PWD/openssl.cnf
cat >openssl.cnf <<END
[req]
distinguished_name = name
[name]
[ca]
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign
subjectKeyIdentifier = hash
[here]
subjectAltName = IP:127.0.0.1, DNS:localhost
[elsewhere]
subjectAltName = DNS:elsewhere.example
[minting]
database = index
serial = serial
new_certs_dir = .
default_md = sha256
policy = any
[any]
commonName = supplied
END
curve=(-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes)
openssl req -x509 "${curve[@]}" -keyout ca.key -out ca.pem -days 2 -subj /CN=tests -extensions ca 2>/dev/null
openssl req "${curve[@]}" -keyout key.pem -out request.pem -subj /CN=judge 2>/dev/null
sign() { # NAME EXTENSIONS FROM TO
    : >index
    openssl ca -config openssl.cnf -name minting -rand_serial -batch -notext -cert ca.pem -keyfile ca.key -in request.pem \
        -out "$1.pem" -extensions "$2" -startdate "$3" -enddate "$4" 2>/dev/null
}
year=$(date +%Y)
sign good here $((year - 1))0101000000Z $((year + 2))0101000000Z
sign other elsewhere $((year - 1))0101000000Z $((year + 2))0101000000Z
sign expired here $((year - 3))0101000000Z $((year - 2))0101000000Z
openssl req -x509 -key key.pem -out stranger.pem -days 2 -subj /CN=judge -extensions here 2>/dev/null
