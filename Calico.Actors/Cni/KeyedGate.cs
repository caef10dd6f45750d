namespace Calico.Actors.Cni;

/// <summary>Lets one caller a key in at a time, in order of arrival; keys nobody waits for take no memory.</summary>
internal sealed class KeyedGate
{
    private readonly Dictionary<string, (SemaphoreSlim Gate, int Users)> _gates = [];

    public async Task<IDisposable> EnterAsync(string key, CancellationToken cancellation)
    {
        SemaphoreSlim gate;
        lock (_gates)
        {
            var (existing, users) = _gates.GetValueOrDefault(key);
            gate = existing ?? new SemaphoreSlim(1, 1);
            _gates[key] = (gate, users + 1);
        }
        try
        {
            await gate.WaitAsync(cancellation);
        }
        catch
        {
            Leave(key);
            throw;
        }
        return new Turn(this, key, gate);
    }

    private void Leave(string key)
    {
        lock (_gates)
        {
            var (gate, users) = _gates[key];
            if (users == 1)
            {
                _gates.Remove(key);
                gate.Dispose();
            }
            else
            {
                _gates[key] = (gate, users - 1);
            }
        }
    }

    private sealed class Turn(KeyedGate owner, string key, SemaphoreSlim gate) : IDisposable
    {
        public void Dispose()
        {
            gate.Release();
            owner.Leave(key);
        }
    }
}
