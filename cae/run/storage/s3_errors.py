"""What an error of an S3 store means, and what to check. Standard library only."""

from __future__ import annotations

import re
from dataclasses import dataclass

NO_BODY = "No response body"
"""In the message of a HEAD request: it has no body, so that all refusals look the same."""

ADVICE = {
    "ExpiredToken": "the session token of the credentials has expired: get new credentials (for "
    "example with `aws sso login`)",
    "InvalidToken": "the session token is not valid for this access key: check AWS_SESSION_TOKEN, "
    "or get new credentials",
    "InvalidAccessKeyId": "the store does not know the access key: check AWS_ACCESS_KEY_ID or "
    "AWS_PROFILE, and that they belong to this endpoint",
    "SignatureDoesNotMatch": "the secret key does not belong to the access key: check "
    "AWS_SECRET_ACCESS_KEY",
    "UnrecognizedClient": "the store does not know the access key: check AWS_ACCESS_KEY_ID and "
    "AWS_SESSION_TOKEN",
    "RequestTimeTooSkewed": "the clock of this host differs by more than 15 minutes from the "
    "store's: set it (see `timedatectl`)",
    "AccessDenied": "there are no credentials, or they lack a permission: needed are s3:ListBucket "
    "on the bucket, and s3:GetObject, s3:PutObject and s3:DeleteObject on its objects",
    "NoSuchBucket": "the bucket does not exist at this endpoint: check its name, or create it",
    "PermanentRedirect": "the bucket is in another region: add ?region=REGION to the URL",
    "AuthorizationHeaderMalformed": "the bucket is in another region: add ?region=REGION to the "
    "URL",
}
"""What to check, by the code of an error that stays until somebody does something."""
REFUSED_READ = "the store allows listing, and refuses reading: the credentials need s3:GetObject"


@dataclass(frozen=True)
class S3Error:
    """The message of pyarrow about an error of a store."""

    text: str
    advice: str = ""
    """What to check, if that is known better than from the code."""

    @property
    def has_no_cause(self) -> bool:
        """Whether the store could not name the cause."""
        return NO_BODY in self.text

    @property
    def code(self) -> str:
        """The code in the words of S3; empty if it is not one of `ADVICE`."""
        words = re.findall(r"AWS Error (\w+)|ExceptionName: (\w+)", self.text)
        named = {"".join(pair).replace("_", "").lower() for pair in words}
        for code in ADVICE:
            if code.lower() in named:
                return code
        return ""

    @property
    def is_permanent(self) -> bool:
        """Whether retrying is useless."""
        return bool(self.code)

    def __str__(self) -> str:
        _, separator, aws_text = self.text.partition("AWS Error ")
        if not separator:
            return self.text
        if not self.code:
            return aws_text
        return f"{self.advice or ADVICE[self.code]} (S3 error: {aws_text})"
