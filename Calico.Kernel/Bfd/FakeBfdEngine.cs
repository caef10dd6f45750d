using System.Collections.Immutable;
using System.Threading.Channels;
using Calico.Core.Bfd;

namespace Calico.Kernel.Bfd;

/// <summary>An engine without a network: the test says what the neighbours do.</summary>
public sealed class FakeBfdEngine : IBfdEngine
{
    private readonly Lock _gate = new();
    private readonly Dictionary<BfdEndpoint, (BfdParameters Parameters, BfdChange Last, bool Enabled)> _sessions = [];
    private readonly Channel<BfdChange> _changes = Channel.CreateUnbounded<BfdChange>();

    public bool SendsAhead { get; init; } = true;

    public bool IsDisposed { get; private set; }

    /// <summary>The sessions that are wanted, with their parameters.</summary>
    public ImmutableDictionary<BfdEndpoint, BfdParameters> Watched
    {
        get
        {
            lock (_gate)
                return _sessions.ToImmutableDictionary(s => s.Key, s => s.Value.Parameters);
        }
    }

    public bool IsEnabled(BfdEndpoint endpoint)
    {
        lock (_gate)
            return _sessions[endpoint].Enabled;
    }

    /// <summary>The session moves.</summary>
    public void Move(BfdEndpoint endpoint, BfdState state, BfdDiagnostic diagnostic = BfdDiagnostic.None, BfdState? remote = null)
    {
        lock (_gate)
        {
            var session = _sessions[endpoint];
            _sessions[endpoint] = session with { Last = new BfdChange(endpoint, state, remote ?? state, diagnostic) };
            _changes.Writer.TryWrite(_sessions[endpoint].Last);
        }
    }

    /// <summary>The engine ends by itself.</summary>
    public void Fail(KernelException fault) => _changes.Writer.TryComplete(fault);

    public void Watch(BfdEndpoint endpoint, BfdParameters parameters)
    {
        if ((endpoint.Problem ?? parameters.Problem) is { } problem)
            throw new ArgumentException(problem, nameof(endpoint));
        lock (_gate)
        {
            var last = _sessions.TryGetValue(endpoint, out var known) ? known.Last : new BfdChange(endpoint, BfdState.Down, BfdState.Down, BfdDiagnostic.None);
            _sessions[endpoint] = (parameters, last, true);
            _changes.Writer.TryWrite(last);
        }
    }

    public void Unwatch(BfdEndpoint endpoint)
    {
        lock (_gate)
            _sessions.Remove(endpoint);
    }

    public void SetEnabled(BfdEndpoint endpoint, bool enabled)
    {
        lock (_gate)
            _sessions[endpoint] = _sessions[endpoint] with { Enabled = enabled };
        Move(endpoint, enabled ? BfdState.Down : BfdState.AdminDown, enabled ? BfdDiagnostic.None : BfdDiagnostic.AdministrativelyDown);
    }

    public Task<ImmutableArray<BfdSessionStatus>> StatusAsync()
    {
        lock (_gate)
        {
            return Task.FromResult<ImmutableArray<BfdSessionStatus>>([.. _sessions.Select(s => new BfdSessionStatus(s.Key, s.Value.Last.State,
                s.Value.Last.RemoteState, s.Value.Last.Diagnostic, BfdDiagnostic.None, 1, 0, s.Value.Parameters, s.Value.Parameters.Interval,
                TimeSpan.Zero, TimeSpan.Zero, new BfdCounters(0, 0, 0, ImmutableDictionary<BfdDiscard, long>.Empty, 0, 0, 0), null))]);
        }
    }

    public async ValueTask<BfdChange?> NextAsync(CancellationToken cancellation) =>
        await _changes.Reader.WaitToReadAsync(cancellation) && _changes.Reader.TryRead(out var change) ? change : null;

    public void Dispose()
    {
        IsDisposed = true;
        _changes.Writer.TryComplete();
    }
}
