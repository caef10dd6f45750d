namespace Calico.Core.Model.Patch;

/// <summary>A patch that is none, or that does not fit the object; the message names the place.</summary>
public sealed class PatchException(string message, Exception? inner = null) : FormatException(message, inner);
