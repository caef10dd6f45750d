using System.Collections.Concurrent;
using System.Collections.Immutable;
using System.Runtime;
using System.Runtime.InteropServices;
using System.Threading.Channels;
using Calico.Core.Bfd;
using Calico.Kernel.Namespaces;
using Calico.Kernel.Netlink;

namespace Calico.Kernel.Bfd;

/// <summary>
/// All BFD sessions of a namespace on one thread of their own.
/// <code>
///   commands ──► queue ── eventfd ─┐                       ┌──► packets
///                                  ▼                       │
///   sockets ────────────────────► ppoll ──► BfdLoop.Round ─┤
///   timers (heap) ──── timeout ────┘                       └──► changes ──► NextAsync
/// </code>
/// While no session changes, the thread makes no object and takes no lock, so it is no cause of a garbage collection and waits
/// for nobody. It cannot escape one. What keeps us from false alarms then is the order of a round (<see cref="BfdLoop.Round"/>),
/// and what keeps the neighbour from them is <see cref="BfdAhead"/>; the process's latency mode and the thread's priority make
/// both rare.
/// </summary>
public sealed class BfdThread : IBfdEngine
{
    // As far up as the scheduler goes for a thread that is no real-time one: a mistake of ours must not take a core away.
    private const int Niceness = -20;
    private const int LongestFarewellMilliseconds = 1_500;

    private readonly ConcurrentQueue<Action> _commands = new();
    private readonly Channel<BfdChange> _changes = Channel.CreateUnbounded<BfdChange>(new UnboundedChannelOptions { SingleReader = true, SingleWriter = true });
    private readonly FdHandle _wake;
    private readonly int _namespaceFd;
    private readonly ManualResetEventSlim _farewell = new();
    private readonly bool _sendsAhead;
    private int _disposed;
    private BfdLoop _loop = null!;
    private BfdAhead? _ahead;
    private bool _stopping;
    private unsafe Libc.PollFd* _fds;
    private int _room;

    private BfdThread(int namespaceFd, FdHandle wake, bool sendsAhead)
    {
        _sendsAhead = sendsAhead;
        _namespaceFd = namespaceFd;
        _wake = wake;
    }

    /// <summary>Starts the thread inside the namespace, which it holds from then on.</summary>
    /// <exception cref="KernelException">The namespace cannot be entered.</exception>
    public static BfdThread Start(INetworkNamespace host) => Start(host, sendsAhead: true);

    /// <param name="sendsAhead">Whether the kernel shall send while the thread is held up, where it can.</param>
    internal static BfdThread Start(INetworkNamespace host, bool sendsAhead)
    {
        var wake = new FdHandle(Libc.EventFd(0, Libc.OCloexec | BfdNative.EfdNonBlock));
        if (wake.IsInvalid)
            throw new KernelException(Libc.LastErrno, "open", "eventfd");
        // Collections of the whole heap go on beside the threads as long as there is memory.
        GCSettings.LatencyMode = GCLatencyMode.SustainedLowLatency;
        var engine = new BfdThread(host.Fd, wake, sendsAhead);
        using var entered = new ManualResetEventSlim();
        KernelException? refused = null;
        new Thread(() => engine.Serve(entered, e => refused = e)) { IsBackground = true, Name = "bfd" }.Start();
        entered.Wait();
        return refused is null ? engine : throw refused;
    }

    public bool SendsAhead => _ahead is { IsOpen: true };

    public void Watch(BfdEndpoint endpoint, BfdParameters parameters)
    {
        if (endpoint.Problem is { } impossible)
            throw new ArgumentException(impossible, nameof(endpoint));
        if (parameters.Problem is { } problem)
            throw new ArgumentException(problem, nameof(parameters));
        Execute(() => _loop.Watch(endpoint, parameters));
    }

    public void Unwatch(BfdEndpoint endpoint) => Execute(() => _loop.Unwatch(endpoint));

    public void SetEnabled(BfdEndpoint endpoint, bool enabled) => Execute(() => _loop.SetEnabled(endpoint, enabled));

    public Task<ImmutableArray<BfdSessionStatus>> StatusAsync() => AskAsync(loop => loop.Status(), []);

    /// <summary>Packets that were of no session of ours, by reason.</summary>
    public Task<long> StrangersAsync(BfdDiscard reason) => AskAsync(loop => loop.Strangers(reason), 0);

    public async ValueTask<BfdChange?> NextAsync(CancellationToken cancellation) =>
        await _changes.Reader.WaitToReadAsync(cancellation) && _changes.Reader.TryRead(out var change) ? change : null;

    /// <summary>Returns when every neighbour was told once; the thread goes on telling for a detection time, a second at most.</summary>
    public void Dispose()
    {
        if (Interlocked.Exchange(ref _disposed, 1) != 0)
            return;
        Execute(() =>
        {
            _loop.UnwatchAll();
            _stopping = true;
            _farewell.Set();
        });
        _farewell.Wait(LongestFarewellMilliseconds);
    }

    /// <summary>Has the thread do something between two rounds.</summary>
    internal unsafe void Execute(Action command)
    {
        _commands.Enqueue(command);
        var one = 1UL;
        try
        {
            Libc.Write(_wake, (byte*)&one, sizeof(ulong));
        }
        catch (ObjectDisposedException)
        {
            // The thread has ended.
        }
    }

    private async Task<T> AskAsync<T>(Func<BfdLoop, T> question, T otherwise)
    {
        var answer = new TaskCompletionSource<T>(TaskCreationOptions.RunContinuationsAsynchronously);
        if (_changes.Reader.Completion.IsCompleted || _disposed != 0)
            return otherwise;
        Execute(() => answer.TrySetResult(question(_loop)));
        // A thread that has ended since answers nobody.
        await Task.WhenAny(answer.Task, _changes.Reader.Completion);
        return answer.Task.IsCompletedSuccessfully ? await answer.Task : otherwise;
    }

    // What fails here, whatever it is, ends the engine and not the process; who reads the changes is told.
    [System.Diagnostics.CodeAnalysis.SuppressMessage("Design", "CA1031", Justification = "Told to the owner, who begins anew")]
    private unsafe void Serve(ManualResetEventSlim entered, Action<KernelException> refuse)
    {
        Exception? fault = null;
        try
        {
            NamespaceThread.Enter(_namespaceFd);
        }
        catch (KernelException e)
        {
            refuse(e);
            entered.Set();
            return;
        }
        // Without the right to it we go on as everybody else does.
        BfdNative.SetPriority(0, 0, Niceness);
        // The kernel sends in the name of the thread that asked for it.
        _ahead = _sendsAhead ? BfdAhead.TryOpen() : null;
        _loop = new BfdLoop(change => _changes.Writer.TryWrite(change), _ahead);
        entered.Set();
        try
        {
            while (!_stopping || !_loop.IsEmpty)
            {
                var due = Wait();
                while (_commands.TryDequeue(out var command))
                    command();
                _loop.Round(due);
            }
        }
        catch (Exception e)
        {
            fault = e;
        }
        finally
        {
            _loop.Dispose();
            _farewell.Set();
            _wake.Dispose();
            NativeMemory.Free(_fds);
            _changes.Writer.TryComplete(fault);
        }
    }

    // Sleeps until a packet, a command or a deadline; returns when the next round is due.
    private unsafe TimeSpan Wait()
    {
        var count = _loop.Receivers.Count + 1;
        if (count > _room)
            _fds = (Libc.PollFd*)NativeMemory.Realloc(_fds, (nuint)((_room = count * 2) * sizeof(Libc.PollFd)));
        _fds[0] = new Libc.PollFd { Fd = _wake.Fd, Events = Libc.PollIn };
        for (var i = 1; i < count; i++)
            _fds[i] = new Libc.PollFd { Fd = _loop.Receivers[i - 1].Fd, Events = Libc.PollIn };

        var due = _loop.NextDeadline;
        var pause = due - BfdLoop.Now;
        var timeout = BfdNative.TimeSpec.Of(pause > TimeSpan.Zero ? pause : TimeSpan.Zero);
        if (BfdNative.Poll(_fds, (nuint)count, due == TimeSpan.MaxValue ? null : &timeout, 0) < 0 && BfdNative.LastErrno != Errno.EINTR)
            throw new KernelException(BfdNative.LastErrno, "poll", "BFD sockets");
        if (_fds[0].Returned != 0)
        {
            ulong count64;
            BfdNative.Read(_wake.Fd, &count64, sizeof(ulong));
        }
        return due;
    }
}
