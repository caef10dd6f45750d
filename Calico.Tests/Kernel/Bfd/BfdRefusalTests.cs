using System.Runtime.InteropServices;
using Calico.Core.Bfd;
using Calico.Kernel.Bfd;
using static Calico.Tests.Kernel.Bfd.BfdBed;

namespace Calico.Tests.Kernel.Bfd;

/// <summary>A kernel that takes no more requests, as one without memory does it; here a seccomp filter says so to one thread.</summary>
[Layer("kernel")]
public sealed partial class BfdRefusalTests
{
    private const int Entries = 1024;

    [SkippableFact]
    public unsafe void A_queue_that_the_kernel_takes_nothing_of_is_not_written_over()
    {
        using var ring = IoUring.TryOpen();
        Skip.If(ring is null, "this kernel has no io_uring");
        var message = (BfdNative.MsgHdr*)NativeMemory.AllocZeroed((nuint)sizeof(BfdNative.MsgHdr));
        var (handedOver, refused) = (true, false);
        // The filter ends with its thread.
        var queueing = new Thread(() =>
        {
            RefuseHere();
            for (var i = 0UL; i < Entries / 2; i++)
                ring!.SendAt(TimeSpan.Zero, -1, message, i << 1, (i << 1) | 1, isLast: true);
            handedOver = ring!.Flush();
            try
            {
                ring.Cancel(waitTag: ulong.MaxValue, tag: ulong.MaxValue);
            }
            catch (InvalidOperationException)
            {
                refused = true;
            }
        });
        queueing.Start();
        queueing.Join();
        Assert.Equal((false, true), (handedOver, refused));

        Assert.True(ring!.Flush());

        var done = new HashSet<ulong>();
        Assert.True(SpinWait.SpinUntil(() =>
        {
            while (ring.TryReap(out var tag, out _))
                Assert.True(done.Add(tag), $"{tag} is done twice");
            return done.Count == Entries;
        }, TimeSpan.FromSeconds(10)), $"{done.Count} of {Entries} are done");
        Assert.DoesNotContain(ulong.MaxValue, done);
        NativeMemory.Free(message);
    }

    [SkippableFact]
    public async Task A_session_stays_up_when_the_kernel_takes_no_more_and_the_thread_sends_by_itself()
    {
        await using var bed = new BfdBed();
        var (ours, theirs) = (bed.Start(bed.Ours), bed.Start(bed.Theirs));
        Skip.IfNot(ours.SendsAhead, "this kernel has no io_uring");
        BfdEndpoint[] endpoints = [Endpoint, new(NeighbourV6, LocalV6)];
        foreach (var endpoint in endpoints)
        {
            ours.Watch(endpoint, Every(200));
            theirs.Watch(Reverse(endpoint), Every(200));
        }
        foreach (var endpoint in endpoints)
            await UntilAsync(async () => await StatusAsync(theirs, Reverse(endpoint)) is { State: BfdState.Up, DetectionTime.TotalMilliseconds: 600 });

        ours.Execute(RefuseHere);
        await UntilAsync(() => Task.FromResult(!ours.SendsAhead));
        // Longer than the kernel's packets would have reached.
        await Task.Delay(BfdAhead.Horizon * 1.4);

        foreach (var endpoint in endpoints)
        {
            var heard = (await StatusAsync(theirs, Reverse(endpoint))).Counters;
            Assert.Equal((1L, 0L), (heard.Ups, heard.Downs));
            var sent = (await StatusAsync(ours, endpoint)).Counters.PacketsOut;
            await UntilAsync(async () => (await StatusAsync(ours, endpoint)).Counters.PacketsOut > sent);
        }
    }

    // The calling thread's io_uring_enter is answered with EAGAIN from now on.
    private static unsafe void RefuseHere()
    {
        // Load the number of the call; go on unless it is 426; EAGAIN; allow.
        Span<Instruction> filter =
        [
            new(0x20, 0, 0, 0),
            new(0x15, 0, 1, 426),
            new(0x06, 0, 0, 0x0005_0000 | 11),
            new(0x06, 0, 0, 0x7fff_0000),
        ];
        fixed (Instruction* first = filter)
        {
            var program = new FilterProgram { Length = (ushort)filter.Length, First = first };
            // PR_SET_NO_NEW_PRIVS; PR_SET_SECCOMP with SECCOMP_MODE_FILTER.
            if (Control(38, 1, 0, 0, 0) != 0 || Control(22, 2, (nint)(&program), 0, 0) != 0)
                throw new InvalidOperationException($"seccomp: {Marshal.GetLastPInvokeErrorMessage()}");
        }
    }

    [StructLayout(LayoutKind.Sequential)]
    private readonly record struct Instruction(ushort Code, byte IfTrue, byte IfFalse, uint Value);

    [StructLayout(LayoutKind.Sequential)]
    private unsafe struct FilterProgram
    {
        public ushort Length;
        public Instruction* First;
    }

    [LibraryImport("libc", EntryPoint = "prctl", SetLastError = true)]
    private static partial int Control(int option, nint a, nint b, nint c, nint d);
}
