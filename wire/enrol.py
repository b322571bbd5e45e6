"""How a new reader asks for its certificate: EST (RFC 7030), with what our readers need beside it.

The request is PKCS#10 for the reader's full name, signed by its new P-256 key; an extension of ours
carries the public half of its sealing key, so that the same signature binds both. Who asks first
has a claim: HTTP Basic, the reader's name and 64 hex digits, good once.
"""

from typing import Final

from cryptography.x509 import ObjectIdentifier

SIMPLE_ENROLL: Final = "/.well-known/est/simpleenroll"
REQUEST_TYPE: Final = "application/pkcs10"
ANSWER_TYPE: Final = "application/pkcs7-mime; smime-type=certs-only"
BODY_BYTES_MAX: Final = 4096
"""A request is some 500 bytes and its base64 700; a certificate is some 700 and 1,000."""
CLAIM_BYTES: Final = 32
SEALING_KEY: Final = ObjectIdentifier("2.25.104926387310437183465927306411840573926")
"""Of a UUID (X.667), so of nobody else: the sealing key as SubjectPublicKeyInfo, DER."""
