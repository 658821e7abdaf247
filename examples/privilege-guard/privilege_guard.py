"""Refuses containers that name a tenant and have more privileges than tenants get."""

import ocihooks

FORBIDDEN = ("CAP_SYS_ADMIN", "CAP_SYS_MODULE", "CAP_SYS_PTRACE", "CAP_SYS_RAWIO")
"""Capabilities by which a container could leave its confinement."""


@ocihooks.hook(stages=["createRuntime"], when={"annotations": {r"^com\.example\.tenant$": ".+"}}, timeout=10)
def guard(call: ocihooks.HookCall) -> None:
    """Let the container be created, or raise an error with all that is against it."""
    process = call.config.get("process") or {}
    found = [name for name in (process.get("capabilities") or {}).get("bounding") or () if name in FORBIDDEN]
    if not process.get("noNewPrivileges"):
        found.append("programs that gain privileges")
    if found:
        tenant = (call.state.annotations or {}).get("com.example.tenant")
        raise PermissionError(f"containers of tenant {tenant} may not have {', '.join(found)}")


if __name__ == "__main__":
    guard.main()
