using Akka.Actor;
using Akka.Event;
using Calico.Datastore;

namespace Calico.Actors.Ipam;

/// <summary>The group commit: what is asked, decided, sent and answered.</summary>
public sealed partial class LeaseActor
{
    private void Work()
    {
        LookUp();
        var commit = _ledger.IsLoaded && !IsReading
            ? _ledger.Next(Rules(isPromise: false), Broken) : null;
        // Who can be answered now need not wait until the transaction is written down.
        Promise();
        if (commit is not null)
        {
            _contact.WriteBegins(_uptime.Now);
            LeaseStore.CommitAsync(_datastore, _node, commit, _ledger.Held.All.ToDictionary(),
                    _handles.Among(commit.Batch.HandleDeltas.Keys), _stopped.Token)
                .PipeTo(Self, success: r => new Committed(commit, r.Sent, r.Result), failure: e => new CommitFailed(commit, e));
        }
        Claim();
        _ledger.Expire(_uptime.Now, WhyNot);
        if (!_ledger.IsIdle && !Timers.IsTimerActive(nameof(WorkAgain)))
            Timers.StartSingleTimer(nameof(WorkAgain), new WorkAgain(), RetryAfter / 4);
    }

    private Core.Ipam.LeaseRules Rules(bool isPromise)
    {
        var now = _uptime.Now;
        return _settings.Rules with { IsLent = isPromise ? _lending.MayBeWritten : a => _lending.IsLent(a, now) };
    }

    private void Promise()
    {
        var now = _uptime.Now;
        var isAway = _contact.IsAway(now);
        if (_contact.IsRefused || (!isAway && (_options.Answer is LeaseAnswer.Durable || IsReading)))
            return;
        var before = _ledger.Promises;
        _ledger.Promise(Rules(isPromise: true), _contact.MayAllocate(now), isAway);
        if (_promising || !isAway || _ledger.Promises <= before)
            return;
        _promising = true;
        _log.Warning("lease of {Node}: the datastore is away ({Cause}); addresses are given and taken back from the blocks held and written when it returns",
            _node, _contact.Describe(_uptime.Now));
    }

    private void OnCommitted(Committed committed)
    {
        _contact.WriteSucceeded(_uptime.Now);
        if (committed.Result.Succeeded)
        {
            _ledger.Succeeded(committed.Commit, committed.Result.Revision);
            // What is being read may be older than this.
            if (IsReading)
                Load();
            _handles.Written(committed.Sent.Writes, committed.Result.Revision);
            if (!committed.Commit.Fenced.IsEmpty)
                PublishHeld();
            _lending.Learn(committed.Commit.Batch.Changed.Values, isOwnWrite: true, _uptime.Now);
            if (_promising && _ledger.Promises == 0)
            {
                _promising = false;
                _log.Info("lease of {Node}: everything that was promised while the datastore was away is written", _node);
            }
        }
        else
        {
            // Somebody else wrote: a released address, a borrowed one, or the block is no longer ours. Look again.
            _log.Debug("lease of {Node}: its view was out of date, reading it again", _node);
            _ledger.Failed(committed.Commit, isKnown: true, hopeless: null, Broken);
            _handles.Forget();
            if (_ledger.FailsAgain)
                LoadLater();
            else
                Load();
        }
        Work();
    }

    private void OnCommitFailed(CommitFailed failed)
    {
        var fault = (failed.Cause as DatastoreException)?.Fault ?? DatastoreFault.Unavailable;
        var isKnown = fault is DatastoreFault.Denied or DatastoreFault.Invalid or DatastoreFault.Exhausted;
        if (_contact.Trouble is null && isKnown)
            _log.Error("lease of {Node}: the datastore refuses what it writes: {Cause}", _node, failed.Cause.Message);
        else if (_contact.Trouble is null)
            _log.Warning("lease of {Node}: whether a transaction happened is not known: {Cause}; reading again", _node, failed.Cause.Message);
        _contact.WriteFailed(failed.Cause.Message, isRefused: fault is DatastoreFault.Denied);
        _ledger.Failed(failed.Commit, isKnown, fault is DatastoreFault.Invalid ? failed.Cause.Message : null, Broken);
        _handles.Forget();
        LoadLater();
        Work();
    }

    private void Broken(string reason) => _log.Error("lease of {Node}: {Reason}", _node, reason);

    private string WhyNot(LeaseRequest request) => !_contact.IsAway(_uptime.Now)
        ? _search.WhyNot(request)
        : $"the datastore does not answer: {_contact.Describe(_uptime.Now)}" + (request is LeaseRequest.Release ? ""
            : !_ledger.IsLoaded ? "; the blocks of this node have not been read since its start"
            : !_contact.MayAllocate(_uptime.Now) ? "; this node sees no other either, and may be taken for gone"
            : "; no block that this node holds has a free address for it");
}
