using System.Diagnostics;
using Calico.Core.Net;

namespace Calico.Tests.Conformance.Bgp;

/// <summary>A GoBGP without neighbours that reads MRT files.</summary>
internal sealed class GoBgpReader : IAsyncDisposable
{
    public const string Program = "/usr/bin/gobgpd";

    private readonly string _config = Path.GetTempFileName();
    private readonly string _api;
    private readonly string _host;
    private readonly Process _daemon;

    /// <param name="address">Of loopback, for its own socket of commands.</param>
    public GoBgpReader(IpAddr address)
    {
        (_host, _api) = (address.ToString(), $"{address}:50078");
        File.WriteAllText(_config, "[global.config]\n  as = 65100\n  router-id = \"192.0.2.100\"\n  port = -1\n");
        _daemon = Process.Start(new ProcessStartInfo(Program, ["-f", _config, "-t", "toml", "--api-hosts", _api]) { RedirectStandardOutput = true, RedirectStandardError = true })!;
        _daemon.BeginOutputReadLine();
        _daemon.BeginErrorReadLine();
    }

    public async Task<string> AskAsync(params string[] args)
    {
        using var process = Process.Start(new ProcessStartInfo("/usr/bin/gobgp", ["-u", _host, "-p", "50078", .. args]) { RedirectStandardOutput = true, RedirectStandardError = true })!;
        var error = process.StandardError.ReadToEndAsync();
        var text = await process.StandardOutput.ReadToEndAsync();
        await process.WaitForExitAsync();
        return text + await error;
    }

    public async ValueTask DisposeAsync()
    {
        _daemon.Kill();
        await _daemon.WaitForExitAsync();
        _daemon.Dispose();
        File.Delete(_config);
    }
}
