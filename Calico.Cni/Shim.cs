using System.Buffers;
using System.Text.Json;
using Calico.Core.Cni;

namespace Calico.Cni;

/// <summary>The steps of one plugin call.</summary>
internal static class Shim
{
    private const int DefaultTimeoutSeconds = 90;

    /// <summary>The answer to VERSION, which needs neither configuration nor node.</summary>
    public static CniReply Versions()
    {
        var buffer = new ArrayBufferWriter<byte>(256);
        using (var json = new Utf8JsonWriter(buffer))
        {
            json.WriteStartObject();
            json.WriteString("cniVersion"u8, CniVersion.Newest.ToString());
            json.WriteStartArray("supportedVersions"u8);
            foreach (var version in CniVersion.Supported)
                json.WriteStringValue(version.ToString());
            json.WriteEndArray();
            json.WriteEndObject();
        }
        return new CniReply(0, buffer.WrittenMemory);
    }

    /// <summary>All of standard input, up to the length that fits a frame.</summary>
    public static ReadOnlyMemory<byte> ReadConfig(out CniError? error)
    {
        error = null;
        var taken = Shortcut.Taken;
        var buffer = new byte[8192 + taken.Length];
        taken.CopyTo(buffer);
        var length = taken.Length;
        while (true)
        {
            if (length == buffer.Length)
                Array.Resize(ref buffer, buffer.Length * 4);
            var n = Libc.Read(0, buffer.AsSpan(length));
            if (n < 0)
            {
                error = new CniError(CniErrorCode.IoFailure,
                    $"cannot read the network configuration from standard input: {Libc.ErrorText(Libc.Errno)}");
                return default;
            }
            if (n == 0)
                return buffer.AsMemory(0, length);
            length += n;
            if (length > CniConfigHeader.MaxLength)
            {
                error = new CniError(CniErrorCode.InvalidConfig,
                    $"the network configuration is longer than {CniConfigHeader.MaxLength} bytes");
                return default;
            }
        }
    }

    /// <summary>
    /// Opens the pod's namespace, or returns -1 where the command goes on without: a DEL whose namespace is gone, or a
    /// command that has none.
    /// </summary>
    public static int OpenNetns(CniInvocation call, out CniError? error)
    {
        error = null;
        if (!call.Command.ConcernsContainer() || call.Netns.Length == 0)
            return -1;
        var fd = Libc.Open(call.Netns);
        if (fd < 0)
        {
            if (call.Command.NeedsNetns())
                error = new CniError(CniErrorCode.InvalidNetns,
                    $"cannot open the network namespace {call.Netns}: {Libc.ErrorText(Libc.Errno)}");
            return -1;
        }
        if (!Libc.IsNetworkNamespace(fd))
        {
            if (call.Command.NeedsNetns())
                error = new CniError(CniErrorCode.InvalidNetns, $"CNI_NETNS {call.Netns} is not a network namespace");
            return -1;
        }
        // Undoing an ADD in the node's own namespace would take the node off the network.
        if (!call.NetnsOverride && Libc.TryStat(fd, out var pod) && OwnNamespace() is { } own
            && (pod.Device, pod.Inode) == (own.Device, own.Inode))
            error = new CniError(CniErrorCode.InvalidNetns,
                $"CNI_NETNS {call.Netns} is the namespace of the node itself, not of a container");
        return fd;
    }

    /// <summary>Carries the call out: the node does the work, and gives the addresses unless another's program does.</summary>
    public static CniReply Run(CniInvocation call, CniConfigHeader header, ReadOnlyMemory<byte> config, int netns) =>
        header.HasForeignIpam && call.Plugin == CniPlugin.Interface
            ? ForeignIpam.Run(call, header, config, netns)
            : Ask(call, header, config, netns);

    /// <summary>
    /// Lets the node do the work. A DEL that finds no node is recorded for its next start, and has succeeded.
    /// </summary>
    /// <param name="call">Its environment.</param>
    /// <param name="header">What the shim reads of its configuration.</param>
    /// <param name="config">The configuration.</param>
    /// <param name="netns">Descriptor of the pod's namespace, or -1.</param>
    /// <param name="ipamResult">What another's IPAM plugin printed.</param>
    /// <param name="onlyExpand">Ask for the configuration with the node's pod network, see <see cref="CniRequest.OnlyExpand"/>.</param>
    public static CniReply Ask(CniInvocation call, CniConfigHeader header, ReadOnlyMemory<byte> config, int netns,
        ReadOnlyMemory<byte> ipamResult = default, bool onlyExpand = false)
    {
        var version = header.Version;
        var request = new CniRequest(call.Command, call.Plugin)
        {
            ContainerId = call.ContainerId,
            NetnsPath = call.Netns,
            InterfaceName = call.InterfaceName,
            Args = call.Args,
            Path = call.Path,
            Config = config,
            NetnsAttached = netns >= 0,
            IpamResult = ipamResult,
            OnlyExpand = onlyExpand,
        };
        var socket = NotEmpty(Environment.GetEnvironmentVariable("CALICO_CNI_SOCKET"))
            ?? NotEmpty(header.NodeSocket) ?? NodeConnection.DefaultSocket;
        var answer = NodeConnection.Ask(socket, request, netns, TimeoutSeconds());
        if (answer.Reply is { } reply)
            return reply;
        var error = answer.Error!;
        if (answer.IsDown && call.Command == CniCommand.Del && !onlyExpand)
            return Spool.Record(socket, request, header.Name, error) is { } unrecorded ? unrecorded.ToReply(version) : CniReply.Done;
        // STATUS has a code of its own for a plugin that cannot serve an ADD now.
        if (call.Command == CniCommand.Status && error.Code == CniErrorCode.TryAgainLater)
            error = error with { Code = CniErrorCode.NotAvailable };
        return error.ToReply(version);
    }

    private static Libc.FileStatus? OwnNamespace()
    {
        var fd = Libc.Open("/proc/self/ns/net");
        return fd >= 0 && Libc.TryStat(fd, out var status) ? status : null;
    }

    /// <summary>How long to wait for the node, or for another's program.</summary>
    public static int TimeoutSeconds() =>
        int.TryParse(Environment.GetEnvironmentVariable("CALICO_CNI_TIMEOUT"), out var seconds) && seconds is > 0 and <= 3600
            ? seconds
            : DefaultTimeoutSeconds;

    private static string? NotEmpty(string? text) => string.IsNullOrEmpty(text) ? null : text;
}
