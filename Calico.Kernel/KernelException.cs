namespace Calico.Kernel;

/// <summary>The kernel's answer to a request, by its errno number; only those that callers act on are named.</summary>
public enum Errno
{
    None = 0,
    EPERM = 1,
    ENOENT = 2,
    ESRCH = 3,
    EINTR = 4,
    EIO = 5,
    EAGAIN = 11,
    ENOMEM = 12,
    EACCES = 13,
    EBUSY = 16,
    EEXIST = 17,
    ENODEV = 19,
    EINVAL = 22,
    ENOSPC = 28,
    ERANGE = 34,
    ENOTEMPTY = 39,
    EOPNOTSUPP = 95,
    EADDRINUSE = 98,
    EADDRNOTAVAIL = 99,
    ENETDOWN = 100,
    ENETUNREACH = 101,
    ENOBUFS = 105,
    ETIMEDOUT = 110,
    EHOSTUNREACH = 113,
}

/// <summary>
/// A request that the kernel refused: what was tried, on what, and the answer, with the kernel's own extended
/// message where it gave one. Callers ask only <see cref="IsNotFound"/> and <see cref="AlreadyExists"/>.
/// </summary>
public sealed class KernelException(Errno errno, string operation, string subject, string? detail = null)
    : Exception($"{operation} {subject}: {errno}{(string.IsNullOrEmpty(detail) ? "" : $" ({detail})")}")
{
    public Errno Errno { get; } = errno;
    public string Operation { get; } = operation;
    public string Subject { get; } = subject;

    /// <summary>The object, or what it refers to, is not there (ENOENT, ESRCH, ENODEV).</summary>
    public bool IsNotFound => Errno is Errno.ENOENT or Errno.ESRCH or Errno.ENODEV;

    public bool AlreadyExists => Errno is Errno.EEXIST;
}
