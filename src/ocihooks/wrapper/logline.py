"""One line of a log as the runtimes write it. On the warm path of programs that log each call."""


def log_line(level: str, message: str, log_format: str) -> bytes:
    """One line as runc's logger writes it; its readers want the level "error" and a time in this form."""
    from _json import encode_basestring_ascii
    from time import gmtime, strftime

    moment = strftime("%Y-%m-%dT%H:%M:%SZ", gmtime())
    quoted = encode_basestring_ascii(message)
    if log_format == "json":
        return f'{{"level":"{level}","msg":{quoted},"time":"{moment}"}}\n'.encode()
    return f'time="{moment}" level={level} msg={quoted}\n'.encode()
