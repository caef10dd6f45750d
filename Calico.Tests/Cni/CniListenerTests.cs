using System.Net.Sockets;
using System.Runtime.Versioning;
using System.Text.Json.Nodes;
using Calico.Actors.Cni;
using Calico.Core.Cni;

namespace Calico.Tests.Cni;

[Layer("actor")]
public sealed partial class CniListenerTests : IDisposable
{
    private static readonly CniRequest Status = new(CniCommand.Status, CniPlugin.Interface)
    {
        Config = """{"cniVersion": "1.1.0", "name": "net1"}"""u8.ToArray(),
    };

    private readonly string _folder = Directory.CreateTempSubdirectory("calico-cni-").FullName;

    private CniListenerOptions Options => new(Path.Combine(_folder, "cni.sock"));

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    [Fact]
    public async Task A_request_is_handed_over_and_its_answer_comes_back()
    {
        CniRequest? seen = null;
        await using var listener = CniListener.Start(Options, async (call, _) =>
        {
            seen = call.Request;
            Assert.True(await call.ReplyAsync(new CniReply(7, "done"u8.ToArray())));
        });

        var reply = await AskAsync(Status.ToFrame());

        Assert.Equal(new CniReply(7, "done"u8.ToArray()), reply);
        Assert.Equal(Status, seen);
    }

    [Fact]
    public async Task An_answer_may_come_long_after_the_handler_returned()
    {
        CniCall? held = null;
        await using var listener = CniListener.Start(Options, (call, _) =>
        {
            held = call;
            return Task.CompletedTask;
        });
        var asking = AskAsync(Status.ToFrame());
        await Wait.Until(() => held is not null, "the call");

        Assert.Equal(1, listener.InFlight);
        await held!.ReplyAsync(CniReply.Done);

        Assert.Equal(CniReply.Done, await asking);
        await Wait.Until(() => listener.InFlight == 0, "the call's end");
    }

    [Fact]
    public async Task A_second_answer_is_not_sent()
    {
        var second = true;
        await using var listener = CniListener.Start(Options, async (call, _) =>
        {
            await call.ReplyAsync(CniReply.Done);
            second = await call.ReplyAsync(new CniReply(1, default));
        });

        Assert.Equal(CniReply.Done, await AskAsync(Status.ToFrame()));
        await Wait.Until(() => !second, "the refusal");
    }

    [Fact]
    public async Task A_request_arrives_whatever_pieces_it_comes_in()
    {
        await using var listener = StartDone();
        var frame = Status.ToFrame();
        for (var split = 1; split < frame.Length; split++)
        {
            using var shim = await ConnectAsync();
            await shim.SendAsync(frame.AsMemory(0, split));
            await shim.SendAsync(frame.AsMemory(split));
            Assert.Equal(CniReply.Done, await ReadAsync(shim));
        }
    }

    [Fact]
    public async Task A_caller_that_closed_its_half_still_gets_the_answer()
    {
        await using var listener = StartDone();
        using var shim = await ConnectAsync();
        await shim.SendAsync(Status.ToFrame());
        shim.Shutdown(SocketShutdown.Send);

        Assert.Equal(CniReply.Done, await ReadAsync(shim));
    }

    [Theory]
    [InlineData("474554202F20485454502F312E310D0A0D0A", "does not speak")]
    [InlineData("43434E490002000100000000", "another version")]
    [InlineData("43434E490001000200000000", "a reply came")]
    [InlineData("43434E490001000100000000", "command")]
    [InlineData("43434E4900010001FFFFFFFF", "longer than 1 MiB")]
    [InlineData("43434E49000100010000000A01", "middle of a frame")]
    [InlineData("43434E4900010001000000010101", "bytes follow")]
    [InlineData("43", "middle of a frame")]
    public async Task Garbage_is_answered_with_what_was_wrong_and_disturbs_nobody(string hex, string why)
    {
        await using var listener = StartDone();
        using var shim = await ConnectAsync();
        await shim.SendAsync(Convert.FromHexString(hex));
        shim.Shutdown(SocketShutdown.Send);

        var error = ErrorOf(await ReadAsync(shim));

        Assert.Equal(11, error.Code);
        Assert.Contains(why, error.Message, StringComparison.Ordinal);
        Assert.Equal(1, listener.Malformed);
        Assert.Equal(CniReply.Done, await AskAsync(Status.ToFrame()));
    }

    [Fact]
    public async Task An_announced_namespace_that_did_not_come_is_refused()
    {
        await using var listener = StartDone();

        var error = ErrorOf(await AskAsync((Status with { NetnsAttached = true }).ToFrame()));

        Assert.Contains("descriptor is missing", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_caller_that_sends_too_slowly_is_dropped()
    {
        await using var listener = CniListener.Start(Options with { TransferDeadline = TimeSpan.FromMilliseconds(50) },
            (call, _) => call.ReplyAsync(CniReply.Done));
        using var shim = await ConnectAsync();
        await shim.SendAsync(Status.ToFrame().AsMemory(0, 5));

        Assert.Null(await ReadAsync(shim));
        Assert.Equal(1, listener.Malformed);
    }

    [Fact]
    public async Task The_namespace_of_a_caller_that_sends_too_slowly_is_closed_at_once()
    {
        await using var listener = CniListener.Start(Options with { TransferDeadline = TimeSpan.FromMilliseconds(50) },
            (call, _) => call.ReplyAsync(CniReply.Done));
        using var shim = await ConnectAsync();
        using var pipe = new System.IO.Pipes.AnonymousPipeServerStream(System.IO.Pipes.PipeDirection.In);
        var descriptor = (int)pipe.ClientSafePipeHandle.DangerousGetHandle();
        var name = File.ResolveLinkTarget($"/proc/self/fd/{descriptor}", returnFinalTarget: false)!.Name;
        SendWithDescriptor(shim, Status.ToFrame().AsSpan(0, 5), descriptor);
        pipe.DisposeLocalCopyOfClientHandle();

        Assert.Null(await ReadAsync(shim));

        // Now, and not when the garbage collector comes by: the reader's end is left.
        Assert.Single(Directory.GetFiles("/proc/self/fd"), f => NameOf(f) == name);
    }

    [Fact]
    public async Task A_lack_of_descriptors_is_told_when_it_begins_and_when_it_ends()
    {
        var left = 5;
        var faults = new List<string>();
        await using var listener = CniListener.Start(Options with
        {
            Accept = (socket, token) => --left >= 0 ? throw new SocketException((int)SocketError.TooManyOpenSockets) : socket.AcceptAsync(token),
        }, (call, _) => call.ReplyAsync(CniReply.Done), (fault, _) => faults.Add(fault));

        Assert.Equal(CniReply.Done, await AskAsync(Status.ToFrame()));

        Assert.Equal(2, faults.Count);
        Assert.Contains("after 5 failures", faults[1], StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_caller_that_goes_away_frees_its_place()
    {
        await using var listener = StartDone();
        using (await ConnectAsync())
            await Wait.Until(() => listener.InFlight == 1, "the connection");

        await Wait.Until(() => listener.InFlight == 0, "the place");
    }

    [Fact]
    public async Task One_call_more_than_allowed_is_told_at_once_to_come_back()
    {
        var held = new List<CniCall>();
        await using var listener = CniListener.Start(Options with { MaxCalls = 2 }, (call, _) =>
        {
            lock (held)
                held.Add(call);
            return Task.CompletedTask;
        });
        var waiting = new[] { AskAsync(Status.ToFrame()), AskAsync(Status.ToFrame()) };
        await Wait.Until(() => held.Count == 2, "two calls");

        var error = ErrorOf(await AskAsync((Status with { Config = new byte[500_000] }).ToFrame()));

        Assert.Equal((11, "calico-node is busy with 2 other calls"), error);
        Assert.Equal(1, listener.Refused);
        foreach (var call in held)
            await call.ReplyAsync(CniReply.Done);
        Assert.All(await Task.WhenAll(waiting), r => Assert.Equal(CniReply.Done, r));
        await Wait.Until(() => listener.InFlight == 0, "the places");
    }

    [Fact]
    public async Task A_call_that_takes_too_long_is_answered_and_keeps_its_place_until_its_owner_lets_go()
    {
        CniCall? held = null;
        var cancelled = false;
        await using var listener = CniListener.Start(Options with { CallDeadline = TimeSpan.FromMilliseconds(50) }, (call, token) =>
        {
            token.Register(() => cancelled = true);
            held = call;
            return Task.CompletedTask;
        });

        var error = ErrorOf(await AskAsync(Status.ToFrame()));

        Assert.Equal(11, error.Code);
        Assert.Contains("did not finish", error.Message, StringComparison.Ordinal);
        Assert.True(cancelled);
        Assert.Equal(1, listener.InFlight);
        Assert.False(await held!.ReplyAsync(CniReply.Done));
        await Wait.Until(() => listener.InFlight == 0, "the place");
    }

    [Fact]
    public async Task A_handler_that_fails_is_an_internal_error_with_its_cause()
    {
        var faults = new List<string>();
        await using var listener = CniListener.Start(Options, (_, _) => throw new InvalidOperationException("no such pool"),
            (fault, _) => faults.Add(fault));

        var error = ErrorOf(await AskAsync(Status.ToFrame()));

        Assert.Equal(999, error.Code);
        Assert.Contains("no such pool", error.Message, StringComparison.Ordinal);
        Assert.Single(faults);
    }

    [Fact]
    public async Task Stopping_tells_the_calls_at_work_to_come_back()
    {
        var working = new TaskCompletionSource();
        var listener = CniListener.Start(Options with { DrainDeadline = TimeSpan.Zero }, async (_, token) =>
        {
            working.SetResult();
            await Task.Delay(Timeout.InfiniteTimeSpan, token);
        });
        var asking = AskAsync(Status.ToFrame());
        await working.Task;

        await listener.DisposeAsync();

        var error = ErrorOf(await asking);
        Assert.Equal(11, error.Code);
        Assert.Contains("is being stopped", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    [SupportedOSPlatform("linux")]
    public async Task Only_its_owner_may_use_the_socket()
    {
        await using var listener = StartDone();

        Assert.Equal(UnixFileMode.UserRead | UnixFileMode.UserWrite, File.GetUnixFileMode(Options.SocketPath));
    }

    [Fact]
    public async Task The_socket_of_a_dead_node_is_replaced()
    {
        await StartDone().DisposeAsync();
        Assert.True(File.Exists(Options.SocketPath));

        await using var listener = StartDone();

        Assert.Equal(CniReply.Done, await AskAsync(Status.ToFrame()));
    }

    [Fact]
    public async Task The_socket_of_a_living_node_is_left_alone()
    {
        await using var listener = StartDone();

        var error = Assert.Throws<InvalidOperationException>(StartDone);

        Assert.Contains("another process answers", error.Message, StringComparison.Ordinal);
        Assert.Equal(CniReply.Done, await AskAsync(Status.ToFrame()));
    }

    [Fact]
    public void A_file_in_the_way_is_not_deleted()
    {
        File.WriteAllText(Options.SocketPath, "precious");

        Assert.Throws<InvalidOperationException>(StartDone);
        Assert.Equal("precious", File.ReadAllText(Options.SocketPath));
    }

    private CniListener StartDone() => CniListener.Start(Options, (call, _) => call.ReplyAsync(CniReply.Done));

    private async Task<Socket> ConnectAsync()
    {
        var socket = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        await socket.ConnectAsync(new UnixDomainSocketEndPoint(Options.SocketPath));
        return socket;
    }

    private async Task<CniReply?> AskAsync(byte[] frame)
    {
        using var shim = await ConnectAsync();
        for (ReadOnlyMemory<byte> rest = frame; !rest.IsEmpty;)
            rest = rest[await shim.SendAsync(rest)..];
        return await ReadAsync(shim);
    }

    private static async Task<CniReply?> ReadAsync(Socket shim)
    {
        var bytes = new MemoryStream();
        var buffer = new byte[4096];
        try
        {
            for (int n; (n = await shim.ReceiveAsync(buffer)) > 0;)
                bytes.Write(buffer, 0, n);
        }
        catch (SocketException e) when (e.SocketErrorCode == SocketError.ConnectionReset)
        {
            // Dropped with bytes unread: what came before counts.
        }
        return CniFrame.TryRead(bytes.ToArray(), out var frame) == CniFrameFault.None
            && CniReply.TryDecode(bytes.ToArray().AsSpan(CniFrame.HeaderLength, frame.Length), out var reply) ? reply : null;
    }

    private static string? NameOf(string descriptor)
    {
        try
        {
            return File.ResolveLinkTarget(descriptor, returnFinalTarget: false)?.Name;
        }
        catch (IOException)
        {
            // Closed meanwhile.
            return null;
        }
    }

    // 16 bytes of header and one descriptor (cmsg(3)).
    private static unsafe void SendWithDescriptor(Socket socket, ReadOnlySpan<byte> bytes, int descriptor)
    {
        var control = stackalloc byte[24];
        *(nuint*)control = 20;
        *(int*)(control + 8) = 1;
        *(int*)(control + 12) = 1;
        *(int*)(control + 16) = descriptor;
        fixed (byte* start = bytes)
        {
            var vector = stackalloc nint[] { (nint)start, bytes.Length };
            var message = stackalloc nint[] { 0, 0, (nint)vector, 1, (nint)control, 24, 0 };
            Assert.Equal(bytes.Length, sendmsg((int)socket.Handle, message, 0));
        }
    }

    [System.Runtime.InteropServices.LibraryImport("libc", SetLastError = true)]
    private static unsafe partial nint sendmsg(int fd, nint* message, int flags);

    private static (int Code, string Message) ErrorOf(CniReply? reply)
    {
        var json = JsonNode.Parse(reply!.Output.Span)!;
        return (json["code"]!.GetValue<int>(), json["msg"]!.GetValue<string>());
    }
}
