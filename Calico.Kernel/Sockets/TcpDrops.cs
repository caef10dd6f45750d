using System.Globalization;

namespace Calico.Kernel.Sockets;

/// <summary>
/// TCP segments that the kernel threw away in a network namespace since that was made, because a socket asked for more than they
/// had: nobody who listens hears of them. From <c>/proc/net/netstat</c>; a kernel that lacks a counter counts 0.
/// </summary>
/// <param name="PasswordMissing">Without the signature that there must be (RFC 2385).</param>
/// <param name="PasswordUnexpected">With one where there is no password.</param>
/// <param name="PasswordWrong">With a wrong one.</param>
/// <param name="TooFar">Having passed more routers than allowed (RFC 5082).</param>
public readonly record struct TcpDrops(long PasswordMissing, long PasswordUnexpected, long PasswordWrong, long TooFar)
{
    /// <summary>Of the namespace that this process is in. All 0 if the kernel does not tell.</summary>
    public static TcpDrops Read()
    {
        try
        {
            return Parse(File.ReadAllText("/proc/self/net/netstat"));
        }
        catch (IOException)
        {
            return default;
        }
    }

    /// <summary>Reads pairs of lines: names, then the values in the same order.</summary>
    public static TcpDrops Parse(string netstat)
    {
        var lines = netstat.Split('\n');
        for (var i = 0; i + 1 < lines.Length; i += 2)
        {
            if (!lines[i].StartsWith("TcpExt:", StringComparison.Ordinal))
                continue;
            var (names, values) = (lines[i].Split(' '), lines[i + 1].Split(' '));
            long Of(string name) => Array.IndexOf(names, name) is > 0 and var at && at < values.Length && long.TryParse(values[at], CultureInfo.InvariantCulture, out var value) ? value : 0;
            return new TcpDrops(Of("TCPMD5NotFound"), Of("TCPMD5Unexpected"), Of("TCPMD5Failure"), Of("TCPMinTTLDrop"));
        }
        return default;
    }
}
